"""The engine with a broker: jobs in an outbox, published to RabbitMQ and run by Celery. Loaded only if selected."""
