"""What anybody may ask of Millrace: the command line and the HTTP API stand on this.

`asked` turns a `JobRequest` into a `JobSpec`, `permits` says whether a caller may name what is in
it, `reception` takes it in. `tenant_view` is the one door through which the API reads and steers
jobs; it knows whose they are. `summary`, `rows` and `forecast` say what a job is,
gives and will take.
"""
