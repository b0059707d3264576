from django.forms import modelform_factory
from django.shortcuts import redirect, render

from .models import Entry

EntryForm = modelform_factory(Entry, fields=["text"])


def guest_book(request):
    form = EntryForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("/")
    return render(request, "guest_book.html", {"form": form, "entries": Entry.objects.order_by("-written")[:20]})
