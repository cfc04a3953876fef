from .messages import in_notebook as in_notebook
from .messages import show as show
from .tables import show_table as show_table
from .verdicts import DoesNotHold as DoesNotHold
from .verdicts import is_measured_model as is_measured_model
from .verdicts import verdict as verdict
