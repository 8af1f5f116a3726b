"""`python -m lambdazoom`."""

from lambdazoom.cli import run

if __name__ == "__main__":
    run()
