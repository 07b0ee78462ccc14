"""`python -m idp_bridge.simulator`: the simulated identity providers in a process of their own."""

from idp_bridge.simulator.serve import main

if __name__ == "__main__":
    main()
