"""One delivery attempt and what follows from it: outcomes, permits, breaker, doubt."""
