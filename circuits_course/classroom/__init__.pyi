from .grading import check_folder as check_folder
from .report_page import write_page as write_page
