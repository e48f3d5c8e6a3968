from ._adopt import adopt_archive as adopt_archive
from ._archive_transactions import archive_transactions as archive_transactions
from ._contents import archive_contents as archive_contents
from ._contents import verify_archive as verify_archive
from ._report import ArchiveReport as ArchiveReport
