"""The story, durable: `turn` (message to ready), `merge` (tap to landed), `deploy` (landed to healthy or rolled back)."""
