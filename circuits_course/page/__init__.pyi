from .messages import in_notebook as in_notebook
from .messages import show as show
