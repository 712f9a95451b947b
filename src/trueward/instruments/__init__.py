"""Instruments: is the reward earned, or hacked?"""
