from .chapter import Chapter as Chapter
from .progress import Event as Event
from .progress import Progress as Progress
