"""An answer may use threads, whoever runs the report: root and an ordinary user see the same."""

from __future__ import annotations

from classroom.notebooks import checked, notebook

from circuits_course.classroom.grading import check_folder

THREADED = """
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

def split_heads(x, n_heads):
    torch.set_num_threads(4)
    rows = [None] * len(x)
    def work(i):
        rows[i] = x[i].reshape(x.shape[1], n_heads, -1)
    threads = [Thread(target=work, args=(i,)) for i in range(len(x))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as pool:
        return torch.stack(list(pool.map(torch.clone, rows)))
"""


def test_an_answer_may_use_threads(tmp_path):
    notebook(tmp_path / "ann.ipynb", checked(THREADED, "split_heads"))
    (report,) = check_folder(tmp_path)
    assert report.trouble == []
    assert report.answers["split_heads"].outcome == "PASSED", report.answers["split_heads"].text
