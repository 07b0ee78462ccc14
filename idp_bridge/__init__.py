"""idp-bridge: SAML single sign-on, SCIM provisioning, roles, seats and bot users in front of your product."""
