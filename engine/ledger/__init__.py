"""Money: budgets that hold before it is spent, and the record of what was. Stores: `store.SqliteLedger`, `shared.RedisLedger`."""
