"""Sign-in at SAML 2.0 identity providers, as a service provider. Loaded only for providers with `protocol: saml`."""
