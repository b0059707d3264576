#!/usr/bin/env python3
"""Django's commands, for a Python with Django: `python3 manage.py createsuperuser`."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "website.settings")
execute_from_command_line(sys.argv)
