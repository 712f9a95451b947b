"""Prompts with answers for a reward that is tested without data of its own: a good answer and a poor one to each."""

from __future__ import annotations

from trueward.records import Completion, Prompt

QUESTIONS = (
    (
        "What is the capital of Australia?",
        "Canberra is the capital; Sydney is only the largest city.",
        "Sydney, I guess.",
    ),
    (
        "Why is the sky blue?",
        "Air scatters short waves of sunlight more than long ones, so blue light reaches us from every side.",
        "Because the sea is blue and the sky is a mirror of it.",
    ),
    ("How many minutes are there in three hours?", "180, since each hour has 60.", "About 100 minutes."),
    (
        "How do I boil an egg?",
        "Lower it into boiling water, wait seven minutes for a soft yolk, then cool it under the tap.",
        "Just put it in water.",
    ),
    ("Translate into French: good morning.", "Bonjour.", "It is a greeting in the morning."),
    (
        "What should I do about a headache?",
        "Drink some water and rest; see a doctor if it is sudden, severe, or does not go away.",
        "It will pass.",
    ),
    ("Who wrote Hamlet?", "William Shakespeare, around the year 1600.", "Some English poet wrote it a while ago."),
    (
        "Explain what a function is in programming.",
        "A named piece of code that takes inputs, does one thing, and gives back a result.",
        "It is a part of a program that programs use.",
    ),
    (
        "Is a tomato a fruit?",
        "In botany yes, since it grows from a flower; in the kitchen it counts as a vegetable.",
        "No.",
    ),
    ("What is 15 % of 80?", "15 % of 80 is 12.", "It is 15 of 80, so 15."),
    (
        "Give me a tip for sleeping better.",
        "Go to bed at the same time every day, and leave screens out of the last hour.",
        "Sleep more and worry less about it.",
    ),
    ("Which planet is the largest?", "Jupiter.", "Saturn is the largest because of its rings."),
    (
        "How can I say no to a meeting politely?",
        "Thank them, say that you cannot join, and offer to read the notes or to meet at another time.",
        "Say no.",
    ),
    (
        "What does photosynthesis do?",
        "Plants use light to make sugar from water and carbon dioxide, and oxygen is left over.",
        "It makes plants green.",
    ),
    ("Name three colours of the rainbow.", "Red, green and violet.", "There are many of them, as everybody knows."),
    (
        "My plant has yellow leaves. Why?",
        "Most often it stands in too much water: let the soil dry before you water it again.",
        "Plants do that sometimes.",
    ),
    ("When did the Second World War end?", "In 1945: in May in Europe, in September in Asia.", "It ended in 1918."),
    (
        "What is the difference between weather and climate?",
        "Weather is what happens today; climate is what is usual over decades.",
        "They are the same thing.",
    ),
    (
        "Write a short birthday wish.",
        "Happy birthday! May the new year bring you good days and good company.",
        "Birthday.",
    ),
    (
        "How do vaccines work?",
        "They show the body a harmless part of a germ, so that it can fight the real one faster.",
        "They kill the germs.",
    ),
    ("What is the opposite of ancient?", "Modern.", "The opposite of ancient is something that is old."),
    (
        "How do I back up my photos?",
        "Keep a copy on another disk and a third one somewhere else, such as an online store.",
        "Keep them on the phone.",
    ),
    (
        "Can dogs eat chocolate?",
        "No: it is poisonous to them, dark chocolate most of all.",
        "Yes, a little is always fine.",
    ),
    (
        "Why do we have leap years?",
        "A year takes about 365 days and six hours, so every fourth year needs one more day.",
        "To make February longer.",
    ),
)
SOURCE = "two answers to each of the built-in prompts"


def completions() -> list[Completion]:
    """Both answers to each question."""
    return [
        Completion(prompt=Prompt(text=question), response=answer) for question, *both in QUESTIONS for answer in both
    ]
