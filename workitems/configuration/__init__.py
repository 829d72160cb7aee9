"""Documents that span the apps: `apply`, `export_config`, packs and the configuration a workflow depends on."""
