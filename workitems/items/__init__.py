"""Work items: intake, lists, amendments, cancellation and resolution."""
