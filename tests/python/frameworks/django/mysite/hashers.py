from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickerHasher(PBKDF2PasswordHasher):
    """A tenth of the usual work, because servers that are tested are not optimized."""

    iterations = 100_000
