"""What integrations do: take configuration, claim an execution, record what came of it. They know no work items."""
