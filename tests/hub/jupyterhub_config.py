"""A hub for five learners on one machine, set up as docs/teaching.md says; `run_hub.py` starts it.

Started by root, every learner has a user number of their own, without an account in the system.
"""

import os
import sys
from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner

PLACE = Path(os.environ["HUB_PLACE"])
LEARNERS = [f"learner{number}" for number in range(1, 6)]
FIRST_USER = 61_001


class LearnerSpawner(SimpleLocalProcessSpawner):
    """A home for each learner, which nobody else may enter."""

    home_dir_template = str(PLACE / "homes" / "{username}")

    def make_preexec_fn(self, name):
        home, user = Path(self.home_dir), FIRST_USER + LEARNERS.index(name)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        if os.getuid() == 0:
            os.chown(home, user, user)

        def become_learner():
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            os.chdir(home)

        return become_learner


c = get_config()
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}"
c.JupyterHub.hub_port = int(os.environ["HUB_PORT"]) + 1
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{int(os.environ['HUB_PORT']) + 2}"
c.ConfigurableHTTPProxy.command = os.environ["HUB_PROXY"]
c.JupyterHub.spawner_class = LearnerSpawner
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = set(LEARNERS)
c.JupyterHub.services = [{"name": "teacher", "api_token": os.environ["HUB_TOKEN"], "admin": True}]
c.JupyterHub.load_roles = [
    {
        "name": "teacher",
        "services": ["teacher"],
        "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"],
    }
]
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.http_timeout = c.Spawner.start_timeout = 180
c.Spawner.environment = {
    "CIRCUITS_COURSE_CACHE": str(PLACE / "shared"),
    "CIRCUITS_COURSE_MODEL": "smollm2-135m",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
}
