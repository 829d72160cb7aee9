"""A work item's whole journey, top to bottom: intake, deciding, steps and voting, executing, running, closing.

Every service runs inside the caller's unit of work and locks the work item first; whatever else it locks comes after.
"""
