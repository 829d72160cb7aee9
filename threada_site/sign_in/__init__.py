"""Sign-in through identity providers: OpenID Connect with code flow and PKCE. See docs/adr/0047."""
