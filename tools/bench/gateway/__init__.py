"""The gateway under load, beside a raw pass-through and other gateways."""
