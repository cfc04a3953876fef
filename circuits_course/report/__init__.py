"""A report on a class: every answer in a folder of notebooks or progress files, on one page."""

from circuits_course.report.classroom import check_folder
from circuits_course.report.page import write_page

__all__ = ["check_folder", "write_page"]
