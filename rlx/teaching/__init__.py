"""A person teaches an agent, live: the session, its recording, and the page with its server."""
