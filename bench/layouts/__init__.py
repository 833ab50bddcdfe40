"""Layer 4. The layouts that users have, what is in them, and the way in and out: inspect, import, export."""
