"""What integrations do: take configuration, lease an execution, record its result. They know no work items."""
