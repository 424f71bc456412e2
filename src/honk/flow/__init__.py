"""The story, durable: `turn` (message to ready), `merge` (tap to landed), `deploy` (to healthy, or rolled back)."""
