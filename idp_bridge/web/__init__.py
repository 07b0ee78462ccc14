"""The edge: HTTP in, domain calls, HTTP out. Flask is imported here, in app.py and in cli.py, and nowhere else."""
