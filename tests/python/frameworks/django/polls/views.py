import io

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db.models import F
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views import generic
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import Choice, Question


class IndexView(generic.ListView):
    template_name = "polls/index.html"
    context_object_name = "latest_question_list"

    def get_queryset(self):
        return Question.objects.filter(pub_date__lte=timezone.now()).order_by("-pub_date")[:5]


class DetailView(generic.DetailView):
    model = Question
    template_name = "polls/detail.html"


class ResultsView(generic.DetailView):
    model = Question
    template_name = "polls/results.html"


def vote(request, question_id):
    question = get_object_or_404(Question, pk=question_id)
    try:
        choice = question.choice_set.get(pk=request.POST["choice"])
    except (KeyError, Choice.DoesNotExist):
        return render(request, "polls/detail.html", {"question": question, "error_message": "You didn't select a choice."})
    choice.votes = F("votes") + 1
    choice.save()
    request.session["votes"] = request.session.get("votes", 0) + 1
    return HttpResponseRedirect(reverse("polls:results", args=(question.id,)))


@csrf_exempt
@require_POST
def install(request):
    """What `manage.py migrate` and `createsuperuser` do, and a question to start with."""
    output = io.StringIO()
    call_command("migrate", stdout=output, no_color=True)
    get_user_model().objects.create_superuser("admin", "admin@example.com", request.POST["password"])
    question = Question.objects.create(question_text="What's up?", pub_date=timezone.now())
    question.choice_set.create(choice_text="Not much")
    question.choice_set.create(choice_text="The sky")
    return HttpResponse(output.getvalue(), content_type="text/plain")


@csrf_exempt
def upload(request):
    """What arrived: each file with its name, its size, the sum of its bytes and its class, and the fields beside them."""
    files = {
        name: {"name": file.name, "size": file.size, "sum": sum(map(sum, file.chunks())), "class": type(file).__name__}
        for name, file in request.FILES.items()
    }
    return JsonResponse({"files": files, "form": request.POST.dict()})


@csrf_exempt
def echo(request):
    """The body, in the way that Django gives it to views."""
    return HttpResponse(request.body, content_type="text/plain")


def count(request):
    return StreamingHttpResponse((f"{number}\n" for number in range(int(request.GET["to"]))), content_type="text/plain")


def fail(request):
    raise RuntimeError("as asked")
