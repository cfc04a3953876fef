"""Tables measured for this course, each with the command that measures it again."""
