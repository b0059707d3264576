from tutorial import main

application = main({}, greeting="Hello")
