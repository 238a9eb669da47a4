"""How many tiles, and on which workers: pictures that do not fit into memory.

``grid`` has the geometry, ``plane`` what is kept on disk, ``workspace`` the folder of a run,
``job`` what workers must know, ``scene`` what they read, ``tasks`` and ``solving`` what is done for
one tile in each phase, ``phases`` their order, ``schedule``, ``local`` and ``dask`` who does it,
``memory`` the plan, ``progress`` how far it is, ``labels`` what comes out.
"""
