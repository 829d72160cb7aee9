"""Parts of setting and lifting a freeze: who may, and the deadlines that it moves."""
