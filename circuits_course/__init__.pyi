from .models.loading import load_model as load_model
from .models.transformer import CourseTransformer as CourseTransformer
from .notebook.chapter import Chapter as Chapter
from .page.tables import show_table as show_table
from .page.verdicts import verdict as verdict
