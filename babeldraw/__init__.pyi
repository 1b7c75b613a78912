from babeldraw.api import Drawn as Drawn
from babeldraw.api import Model as Model
from babeldraw.api import load as load

__version__: str
