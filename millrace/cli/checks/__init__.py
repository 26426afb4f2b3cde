"""What `millrace doctor` looks at: one file per thing, each a function `findings`.

A check never raises for what it finds; it says how bad that is and what to do about it.
"""
