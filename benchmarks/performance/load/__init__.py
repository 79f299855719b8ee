"""From ten users to ten thousand: a real service under load, beside the model that it asks."""
