"""What models are and what calls cost: facts, prices, bills. Loaded when somebody asks."""
