"""What a job will read and in which chunks, worked out from sizes, footers and samples alone.

`survey` looks at the files, `columns` agrees on one schema, `splitter` cuts; `plan.plan_of` puts
them together. Nothing here knows a database: the scheduler plans for good, a dry run plans to see.
"""
