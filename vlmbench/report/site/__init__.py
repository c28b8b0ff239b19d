"""The report as a site: pages to open from disk, with a browser for every document.

Apart from the tables, because it brings scikit-learn and matplotlib.
"""

from vlmbench.report.site._follow import SECONDS, Follower
from vlmbench.report.site._pictures import Data
from vlmbench.report.site._write import Written, in_words, site

__all__ = ["SECONDS", "Data", "Follower", "Written", "in_words", "site"]
