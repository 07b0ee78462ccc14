"""A test instrument: an identity provider to try the product against, never to guard anything.

Two halves. `saml_idp` and `site` sign people in (anybody may be anybody; there is no password). `scim_push` plays
the provisioning cycles of Okta and Entra ID against a SCIM server and lists what those providers would choke on.
Nothing of the product imports this package except the command line.
"""

import warnings

# pysaml2's identity-provider side names a cipher mode that cryptography has moved, and that we do not use. The warning
# is meant for pysaml2's makers; on the screen of somebody who tries the demo it says nothing.
warnings.filterwarnings("ignore", message="CFB has been moved")
