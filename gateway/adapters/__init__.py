"""The outside: databases, brokers, the clock."""
