"""Batches as OpenAI's API has them, over the jobs of Millrace.

`file_shelf` and `batch_desk` are what a caller may do. A batch becomes a job: `request_lines` reads
and checks the uploaded lines, `translation` writes the rows of the job, `outcomes` puts the results
and errors of the job together to answers, and `settling` writes these into files once the job has
ended. `endpoints` is the one place that says which endpoints there are.
"""
