"""The course as a site: the committed notebooks and the checks become pages that anyone can open.

`make_book` writes the site. Nothing is run for it: a page shows what the solved notebooks say.
"""
