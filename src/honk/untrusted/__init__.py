"""Text that others wrote (in chat, issues, comments, repositories; agents too) as data: nothing hidden, nothing acting.

Rules come from CommonMark 0.31, GitHub Flavored Markdown and Slack's "Formatting message text". All of it takes time
in proportion to the text, however it was made.
"""

from honk.untrusted.github import for_markdown
from honk.untrusted.slack import markdown_to_mrkdwn, mrkdwn, plain_line
from honk.untrusted.unhidden import clean, hidden

__all__ = ["clean", "for_markdown", "hidden", "markdown_to_mrkdwn", "mrkdwn", "plain_line"]
