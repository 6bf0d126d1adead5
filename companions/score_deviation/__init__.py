"""Score deviation maps: which named regions support a class, and which distract from it."""
