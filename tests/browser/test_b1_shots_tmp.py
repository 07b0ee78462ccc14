from tests.browser.test_set_up import administrator, name, simulator, set_up
__all__ = ["administrator", "name", "simulator", "set_up"]
def test_shots(set_up):
    page, connection = set_up
    page.set_viewport_size({"width": 1280, "height": 700})
    page.goto(f"{connection}/setup/saml-settings"); page.screenshot(path="/tmp/s1.png")
    page.set_viewport_size({"width": 360, "height": 740}); page.screenshot(path="/tmp/s2.png")
