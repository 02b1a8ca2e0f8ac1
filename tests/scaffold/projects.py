"""Folders of the kinds that `fairlead init` knows, by name."""

from __future__ import annotations

FLASK = {
    "app.py": "from flask import Flask\n\napp = Flask(__name__)\n\n@app.get('/')\ndef home():\n    return 'hi'\n\n"
    "@app.route('/health')\ndef health():\n    return 'ok'\n\nif __name__ == '__main__':\n    app.run()\n",
    "requirements.txt": "flask==3.1.3\n",
}

FLASK_FACTORY = {
    "shop/__init__.py": "from .factory import create_app\n",
    "shop/factory.py": "import flask\nfrom shop.views import bp\n\ndef create_app(config=None):\n"
    "    app = flask.Flask(__name__)\n    app.register_blueprint(bp, url_prefix='/api')\n    return app\n",
    "shop/views.py": "from flask import Blueprint\nbp = Blueprint('x', __name__)\n\n@bp.route('/ping', methods=['GET'])\n"
    "def ping():\n    return ''\n\n@bp.route('/health', methods=['POST'])\ndef no():\n    return ''\n",
    "tests/test_app.py": "from flask import Flask\napp = Flask('tests')\n",
    "requirements.txt": "Flask\n",
}

FASTAPI_SRC = {
    "src/shop/__init__.py": "",
    "src/shop/main.py": "import fastapi as f\nfrom shop.users import router\n\napp: f.FastAPI = f.FastAPI()\n"
    "app.include_router(router, prefix='/v1')\n",
    "src/shop/users.py": "import os\nfrom fastapi import APIRouter\nrouter = APIRouter(prefix='/users')\n"
    "URL = os.environ['DATABASE_URL']\nLEVEL = os.getenv('LOG_LEVEL', 'info')\n\n"
    "@router.get('/{id}')\ndef one(id: int): ...\n\n@router.get('/readyz')\ndef ready(): ...\n",
    "pyproject.toml": "[project]\nname = 'shop'\nversion = '1'\ndependencies = ['fastapi']\n",
    ".python-version": "3.12.4\n",
}

STARLETTE = {
    "web.py": "from starlette.applications import Starlette\nfrom starlette.routing import Mount, Route\n"
    "routes = [Route('/items/{id}', print), Mount('/ops', routes=[Route('/healthz', print)])]\n"
    "application = Starlette(routes=routes)\n",
    "requirements.txt": "starlette\n",
}

DJANGO = {
    "manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.production')\n",
    "shop/__init__.py": "",
    "shop/settings/__init__.py": "",
    "shop/settings/base.py": "import os\nfrom pathlib import Path\nBASE_DIR = Path(__file__).parent\n"
    "ROOT_URLCONF = 'shop.urls'\nWSGI_APPLICATION = 'shop.wsgi.application'\nSTATIC_ROOT = BASE_DIR / 'static'\n"
    "MIDDLEWARE = ['whitenoise.middleware.WhiteNoiseMiddleware']\nSECRET_KEY = os.environ['SECRET_KEY']\n"
    "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}\n",
    "shop/settings/production.py": "from .base import *\nDEBUG = False\nALLOWED_HOSTS = ['shop.example.com']\n",
    "shop/urls.py": "from django.contrib import admin\nfrom django.urls import include, path\n"
    "urlpatterns = [path('admin/', admin.site.urls), path('ops/', include('shop.ops'))]\n",
    "shop/ops.py": "from django.urls import path\nurlpatterns = [path('healthz/', lambda r: None)]\n",
    "shop/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    "requirements.txt": "Django>=5\nwhitenoise\n",
}

DJANGO_NEW = {
    "manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n',
    "mysite/__init__.py": "",
    "mysite/settings.py": "from pathlib import Path\nBASE_DIR = Path(__file__).resolve().parent.parent\nDEBUG = True\n"
    "ALLOWED_HOSTS = []\nROOT_URLCONF = 'mysite.urls'\nWSGI_APPLICATION = 'mysite.wsgi.application'\n"
    "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}}\n",
    "mysite/urls.py": "from django.contrib import admin\nfrom django.urls import path\n"
    "urlpatterns = [path('admin/', admin.site.urls)]\n",
    "mysite/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
}

NODE = {
    "package.json": '{"name": "pay", "scripts": {"start": "node server.js"}, "dependencies": {"express": "5"}}',
    "package-lock.json": "{}",
    "server.js": "const app = require('express')();\napp.get('/health', (q, s) => s.send('ok'));\n"
    "app.listen(process.env.PORT || 3000);\n",
    ".gitignore": "node_modules\n",
    "node_modules/x/index.js": "app.get('/healthz')",
}

NODE_BUILT = {
    "package.json": '{"scripts": {"start": "next start", "build": "next build"}, "dependencies": {"next": "15"}}',
    "pnpm-lock.yaml": "",
}

NODE_FIXED_PORT = {
    "package.json": '{"main": "./index.js", "dependencies": {"x": "1"}}',
    "index.js": "require('http').createServer((q, s) => s.end()).listen(3000)",
}

PROCFILE = {
    "Procfile": "# what runs\nweb: gunicorn shop:app --workers 2\nWorker_1: celery -A shop worker\n"
    "clock: LOG=debug python clock.py\nrelease: python manage.py migrate\n",
    "shop.py": "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/up')\ndef up(): return ''\n",
    "requirements.txt": "flask\ngunicorn\ncelery\n",
}

PROJECTS = {
    "flask": FLASK,
    "flask factory": FLASK_FACTORY,
    "fastapi in src": FASTAPI_SRC,
    "starlette": STARLETTE,
    "django": DJANGO,
    "django new": DJANGO_NEW,
    "node": NODE,
    "node built": NODE_BUILT,
    "node fixed port": NODE_FIXED_PORT,
    "procfile": PROCFILE,
}
